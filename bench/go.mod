module kdoctor.io/kdoctor/bench

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	golang.org/x/sys v0.49.0
	kdoctor.io/kdoctor v0.0.0
)

require github.com/robfig/cron/v3 v3.0.1 // indirect

replace kdoctor.io/kdoctor => ../
