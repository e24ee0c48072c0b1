package infer

// Improving is the constant.
const Improving = improving

// Effort is how many failures Find looks at.
func Effort(in Input) int {
	f := newFinder(in)
	f.find()
	return f.effort
}
