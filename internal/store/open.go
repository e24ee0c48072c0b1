package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/aws"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/s3blob"
)

const (
	// dialWithin and answerWithin bound one request to an object store; one that fails is tried once more.
	dialWithin   = 3 * time.Second
	answerWithin = 10 * time.Second
	tries        = 2
	// anyRegion is asked for where nothing names a region: servers that are not Amazon's take it for their own.
	anyRegion = "us-east-1"
)

// place is where a location leads: a folder, or a bucket of an object store that speaks S3.
type place struct {
	// dir is the folder; without one it is a bucket.
	dir            string
	bucket, prefix string
	pathStyle      bool
	encryption     types.ServerSideEncryption
	encryptionKey  string
	// client holds the parameters that the library for the client reads: endpoint, region and checksums.
	client url.Values
}

// CheckLocation reports whether Open could make sense of a location, without touching what it leads to.
// Like all errors of Open, its error quotes neither user names nor the values of parameters, for both might be secrets.
func CheckLocation(location string) error {
	_, err := locate(location)
	return err
}

// Open opens the store at a location. Close gives it back. Several processes may open the same location; one of them
// writes, and the others read. Open changes nothing there, but for a folder that does not exist yet. A location is one
// of
//
//   - a path or file:///a/folder; the folder is made when it does not exist;
//   - s3://bucket or s3://bucket/below/this with the parameters endpoint, region, use_path_style, ssetype, kmskeyid,
//     request_checksum_calculation and response_checksum_validation. Credentials come from where Amazon's libraries
//     look for them, such as the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; a location that holds some is
//     refused.
//
// A bucket is not asked for anything yet, so an object store that is down keeps nobody from starting.
func Open(ctx context.Context, location string) (*Store, error) {
	at, err := locate(location)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if at.dir == "" {
		bucket, err := openBucket(ctx, at)
		if err != nil {
			return nil, fmt.Errorf("open store in the bucket %q: %w", at.bucket, err)
		}
		return New(bucket), nil
	}
	// Temporary files stand beside the blobs, because a rename is atomic within one volume only;
	// the metadata files that fileblob would add hold nothing that we need.
	bucket, err := fileblob.OpenBucket(at.dir, &fileblob.Options{
		CreateDir: true, DirFileMode: 0o750, NoTempDir: true, Metadata: fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, fmt.Errorf("open store in the folder %q: %w", at.dir, err)
	}
	s := New(bucket)
	s.dir = at.dir
	return s, nil
}

// locate reads a location.
func locate(location string) (place, error) {
	if !strings.Contains(location, "://") {
		if location == "" {
			return place{}, errors.New("no folder given")
		}
		return place{dir: filepath.Clean(location)}, nil
	}
	u, err := url.Parse(location)
	switch {
	case err != nil:
		// The parser's own error quotes the location.
		return place{}, errors.New("the location cannot be read as a URL")
	case u.User != nil:
		return place{}, errors.New("the location holds credentials; give them in the environment, as " +
			"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	case u.Fragment != "" || u.Opaque != "":
		return place{}, errors.New("the location holds more than a host, a path and parameters")
	}
	switch u.Scheme {
	case fileblob.Scheme:
		if u.Host != "" || u.RawQuery != "" || u.Path == "" {
			return place{}, errors.New("a folder is file:///a/folder, without host and parameters")
		}
		return place{dir: filepath.Clean(u.Path)}, nil
	case s3blob.Scheme:
		return locateBucket(u)
	}
	return place{}, errors.New("the location is no path, no file:///a/folder and no s3://bucket")
}

// locateBucket reads s3://bucket/prefix?parameters.
func locateBucket(u *url.URL) (place, error) {
	at := place{bucket: u.Host, client: url.Values{}}
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$`).MatchString(at.bucket) {
		return place{}, errors.New("the location names no bucket: use s3://bucket")
	}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		for segment := range strings.SplitSeq(prefix, "/") {
			if !regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`).MatchString(segment) {
				return place{}, errors.New("the path in the bucket may hold letters, digits, '.', '_' and '-' " +
					"between its slashes")
			}
		}
		at.prefix = prefix + "/"
	}
	parameters, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return place{}, errors.New("the parameters of the location cannot be read")
	}
	for name, values := range parameters {
		if len(values) != 1 {
			return place{}, fmt.Errorf("the location has the parameter %.40q more than once", name)
		}
		if err := at.set(name, values[0]); err != nil {
			return place{}, err
		}
	}
	return at, nil
}

// set takes one parameter.
func (p *place) set(name, value string) error {
	ok := value != ""
	switch name {
	case "endpoint":
		u, err := url.Parse(value)
		ok = err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil &&
			u.RawQuery == "" && u.Fragment == ""
		p.client.Set(name, value)
	case "region":
		ok = regexp.MustCompile(`^[A-Za-z0-9-]{1,63}$`).MatchString(value)
		p.client.Set(name, value)
	case "request_checksum_calculation", "response_checksum_validation":
		ok = slices.Contains([]string{"when_supported", "when_required"}, value)
		p.client.Set(name, value)
	case "use_path_style":
		style, err := strconv.ParseBool(value)
		ok, p.pathStyle = err == nil, style
	case "ssetype":
		p.encryption = types.ServerSideEncryption(value)
		ok = slices.Contains(p.encryption.Values(), p.encryption)
	case "kmskeyid":
		p.encryptionKey = value
	default:
		return fmt.Errorf("the location has the parameter %.40q, which is not known; secrets belong into the "+
			"environment", name)
	}
	if !ok {
		return fmt.Errorf("the parameter %q of the location has a value that it cannot have", name)
	}
	return nil
}

func openBucket(ctx context.Context, at place) (*blob.Bucket, error) {
	config, err := aws.V2ConfigFromURLParams(ctx, at.client)
	if err != nil {
		return nil, err
	}
	if config.Region == "" {
		config.Region = anyRegion
	}
	// A store that does not answer must be known as such long before a round's deadline. A client that is not the
	// library's own, of which there is none today, would keep its own limits.
	if client, ok := config.HTTPClient.(*awshttp.BuildableClient); ok {
		config.HTTPClient = client.
			WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialWithin }).
			WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = answerWithin })
	}
	client := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle, o.RetryMaxAttempts = at.pathStyle, tries })
	bucket, err := s3blob.OpenBucket(ctx, client, at.bucket, &s3blob.Options{
		EncryptionType: at.encryption, KMSEncryptionID: at.encryptionKey,
		RequestChecksumCalculation: config.RequestChecksumCalculation,
	})
	if err != nil || at.prefix == "" {
		return bucket, err
	}
	return blob.PrefixedBucket(bucket, at.prefix), nil
}

// RemoveHalves removes the temporary files of blobs that a process began to write and never finished, where they have
// lain for so long: only the process that writes may call it. Errors are of no concern: such a file is no round, and
// Prune tries again.
func (s *Store) RemoveHalves(lain time.Duration) {
	if s.dir == "" {
		return
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return
	}
	defer func() { _ = root.Close() }()
	now := time.Now()
	_ = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		// What cannot be looked at is passed over.
		if err != nil || entry.IsDir() || !halfWritten(path) {
			return nil
		}
		if info, err := entry.Info(); err == nil && now.Sub(info.ModTime()) >= lain {
			_ = root.Remove(path)
		}
		return nil
	})
}

// halfWritten reports whether a name is that of a temporary file as fileblob makes it: the blob's own, a time in
// hexadecimal digits, and ".tmp".
func halfWritten(name string) bool {
	stem, ok := strings.CutSuffix(name, ".tmp")
	dot := strings.LastIndexByte(stem, '.')
	if !ok || dot < 0 || strings.Trim(stem[dot+1:], "0123456789abcdef") != "" {
		return false
	}
	_, _, ok = parseName(stem[:dot])
	return ok
}
