package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"time"
)

const (
	// bytesPerItem is how many bytes of a frame stand at least for each element of a list, entry of a map, and value
	// behind a pointer, so that a damaged blob cannot ask for much more memory than it has bytes. Rows that take less
	// are padded with zeros, which compress to nothing.
	bytesPerItem = 4
	// maxItems bounds the items of one frame.
	maxItems = 1 << 20
)

// rows turns values of one type into columns and back. A column is one field of all rows that a frame has; its name is
// the path of the JSON names that lead to the field. What a field has is derived from its type, so that a new field is
// stored without a change here. Readers pass over columns that they do not know, and columns that are missing are 0.
type rows struct {
	dictionary *dictionary
	root       node
	columns    []*column
	// base is the time from which a frame's times are counted, items how many items it has.
	base  time.Time
	items int

	// unread are the columns of the frame that is being read, by name. room is how many items it may have.
	unread map[string]unread
	room   int
}

func newRows(of reflect.Type, d *dictionary) (*rows, error) {
	r := &rows{dictionary: d, unread: map[string]unread{}}
	var err error
	r.root, err = r.node(of, "", 0)
	return r, err
}

// column returns a new column.
func (r *rows) column(name string) *column {
	c := &column{name: name}
	c.begin(r.unread[name])
	r.columns = append(r.columns, c)
	return c
}

// append appends one value, with its times counted from base. The value must be addressable.
func (r *rows) append(b []byte, v reflect.Value, base time.Time) ([]byte, error) {
	r.base, r.items = base, 0
	if err := r.root.write(r, v); err != nil {
		return nil, err
	}
	before := len(b)
	var body []byte
	for _, c := range r.columns {
		form, encoded, written := c.encode(body[:0])
		if body = encoded; written {
			b = appendColumn(b, r.dictionary.indexOf(c.name), form, body)
		}
	}
	if r.items > maxItems {
		return nil, fmt.Errorf("%d items are more than the %d that can be read again", r.items, maxItems)
	}
	if missing := r.items*bytesPerItem - (len(b) - before); missing > 0 {
		// The empty name is no field's.
		b = appendColumn(b, 0, 0, make([]byte, missing))
	}
	return b, nil
}

func appendColumn(b []byte, name uint64, form byte, body []byte) []byte {
	b = append(binary.AppendUvarint(b, name), form)
	return append(binary.AppendUvarint(b, uint64(len(body))), body...)
}

// read reads what append wrote, to its last byte.
func (r *rows) read(b []byte, v reflect.Value, base time.Time) error {
	r.base, r.items, r.room = base, 0, min(len(b)/bytesPerItem, maxItems)
	if err := r.cut(b); err != nil {
		return err
	}
	if err := r.root.read(r, v); err != nil {
		return err
	}
	for _, c := range r.columns {
		if len(c.rest) > 0 {
			return fmt.Errorf("column %q has %d bytes too many", c.name, len(c.rest))
		}
	}
	return nil
}

// cut finds the columns of a frame.
func (r *rows) cut(b []byte) error {
	clear(r.unread)
	for len(b) > 0 {
		at, size := binary.Uvarint(b)
		if size <= 0 || size == len(b) {
			return errors.New("the head of a column is cut short")
		}
		name, err := r.dictionary.string(at)
		if err != nil {
			return err
		}
		c := unread{form: b[size]}
		if c.numbers, b, err = cutBytes(b[size+1:]); err != nil {
			return fmt.Errorf("column %q: %w", name, err)
		}
		r.unread[name] = c
	}
	for _, c := range r.columns {
		c.begin(r.unread[c.name])
	}
	return nil
}
