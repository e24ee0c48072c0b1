package store

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/stats"
)

// take counts items that are about to be read.
func (r *rows) take(items uint64) error {
	if items > uint64(r.room-r.items) { // #nosec G115 -- no more than room are taken
		return fmt.Errorf("%d items do not fit into what is left", items)
	}
	r.items += int(items) // #nosec G115 -- it is at most room
	return nil
}

// pointerNode stores whether there is a value, and the value. Its node is made when it is needed: types may contain
// themselves.
type pointerNode struct {
	*column
	of    reflect.Type
	depth int
	value node
}

func (n *pointerNode) node(r *rows) (err error) {
	if n.value == nil {
		n.value, err = r.node(n.of, n.name, n.depth+1)
	}
	return err
}

func (n *pointerNode) write(r *rows, v reflect.Value) error {
	if v.IsNil() {
		n.add(0)
		return nil
	}
	if err := n.node(r); err != nil {
		return err
	}
	n.add(1)
	r.items++
	return n.value.write(r, v.Elem())
}

func (n *pointerNode) read(r *rows, v reflect.Value) error {
	there, err := n.next()
	if err != nil || there == 0 {
		return err
	}
	if err := r.take(1); err != nil {
		return err
	}
	if err := n.node(r); err != nil {
		return err
	}
	v.Set(reflect.New(n.of))
	return n.value.read(r, v.Elem())
}

// listNode stores the length of a slice plus 1, 0 for nil, and its elements.
type listNode struct {
	length  *column
	of      reflect.Type
	depth   int
	element node
}

func (n *listNode) node(r *rows) (err error) {
	if n.element == nil {
		n.element, err = r.node(n.of, n.length.name+"[]", n.depth+1)
	}
	return err
}

func (n *listNode) write(r *rows, v reflect.Value) error {
	if v.IsNil() {
		n.length.add(0)
		return nil
	}
	if err := n.node(r); err != nil {
		return err
	}
	n.length.add(uint64(v.Len()) + 1) // #nosec G115 -- a length
	r.items += v.Len()
	for i := range v.Len() {
		if err := n.element.write(r, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (n *listNode) read(r *rows, v reflect.Value) error {
	length, err := n.length.next()
	if err != nil || length == 0 {
		return err
	}
	if err := r.take(length - 1); err != nil {
		return err
	}
	if err := n.node(r); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), int(length-1), int(length-1))) // #nosec G115 -- there is room for it
	for i := range v.Len() {
		if err := n.element.read(r, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// mapNode stores the length of a map plus 1, 0 for nil, and its entries, sorted by the numbers of their keys.
type mapNode struct {
	length     *column
	key, value node
	// k and v are an entry that is on its way.
	k, v reflect.Value
}

func (r *rows) table(of reflect.Type, name string, depth int) (node, error) {
	switch of.Key().Kind() {
	case reflect.String, reflect.Int:
	default:
		return nil, fmt.Errorf("%s: nobody knows how to store a %s", name, of)
	}
	n := &mapNode{length: r.column(name), k: reflect.New(of.Key()).Elem(), v: reflect.New(of.Elem()).Elem()}
	var err error
	if n.key, err = r.scalar(of.Key(), name+"{}key"); err != nil {
		return nil, err
	}
	n.value, err = r.node(of.Elem(), name+"{}", depth+1)
	return n, err
}

func (n *mapNode) write(r *rows, v reflect.Value) error {
	if v.IsNil() {
		n.length.add(0)
		return nil
	}
	n.length.add(uint64(v.Len()) + 1) // #nosec G115 -- a length
	r.items += v.Len()
	if v.Len() == 1 {
		entry := v.MapRange()
		entry.Next()
		n.k.SetIterKey(entry)
		n.v.SetIterValue(entry)
		return n.writeEntry(r)
	}
	for _, key := range r.sorted(v.MapKeys()) {
		n.k.Set(key)
		n.v.Set(v.MapIndex(key))
		if err := n.writeEntry(r); err != nil {
			return err
		}
	}
	return nil
}

func (n *mapNode) writeEntry(r *rows) error {
	if err := n.key.write(r, n.k); err != nil {
		return err
	}
	return n.value.write(r, n.v)
}

// sorted sorts the keys of a map, strings by their indices: the differences between these are small.
func (r *rows) sorted(keys []reflect.Value) []reflect.Value {
	if len(keys) > 0 && keys[0].Kind() == reflect.Int {
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.Int(), b.Int()) })
		return keys
	}
	// New strings get their indices in the order of the alphabet, so that equal rounds have equal blobs.
	slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
	for _, key := range keys {
		r.dictionary.indexOf(key.String())
	}
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		return cmp.Compare(r.dictionary.indexOf(a.String()), r.dictionary.indexOf(b.String()))
	})
	return keys
}

func (n *mapNode) read(r *rows, v reflect.Value) error {
	length, err := n.length.next()
	if err != nil || length == 0 {
		return err
	}
	if err := r.take(length - 1); err != nil {
		return err
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), int(length-1))) // #nosec G115 -- there is room for it
	for range length - 1 {
		n.k.SetZero()
		n.v.SetZero()
		if err := n.key.read(r, n.k); err != nil {
			return err
		}
		if err := n.value.read(r, n.v); err != nil {
			return err
		}
		v.SetMapIndex(n.k, n.v)
	}
	return nil
}

// histogramNode stores the parts of histograms.
type histogramNode struct {
	n, least, spread, off, counts, gaps *column
	parts                               stats.Parts
}

func (r *rows) histogram(name string) *histogramNode {
	return &histogramNode{n: r.column(name), least: r.column(name + ".min"), spread: r.column(name + ".spread"),
		off: r.column(name + ".off"), counts: r.column(name + ".counts"), gaps: r.column(name + ".gaps")}
}

func (n *histogramNode) write(r *rows, v reflect.Value) error {
	of, ok := v.Addr().Interface().(*stats.Histogram)
	if !ok {
		return fmt.Errorf("%s is no histogram", v.Type())
	}
	n.parts.Counts, n.parts.Gaps = n.parts.Counts[:0], n.parts.Gaps[:0]
	p := of.AppendParts(n.parts)
	n.parts = p
	if n.n.add(p.N); p.N == 0 {
		return nil
	}
	r.items++
	n.least.add(p.Min)
	n.spread.add(p.Max - p.Min)
	n.off.add(zigzag(p.Off))
	n.counts.numbers = append(n.counts.numbers, p.Counts...)
	n.gaps.numbers = append(n.gaps.numbers, p.Gaps...)
	return nil
}

func (n *histogramNode) read(r *rows, v reflect.Value) error {
	p := stats.Parts{Counts: n.parts.Counts[:0], Gaps: n.parts.Gaps[:0]}
	var err error
	if p.N, err = n.n.next(); err != nil || p.N == 0 {
		return err
	}
	if err := r.take(1); err != nil {
		return err
	}
	var numbers [3]uint64
	for i, c := range [...]*column{n.least, n.spread, n.off} {
		if numbers[i], err = c.next(); err != nil {
			return err
		}
	}
	p.Min, p.Max, p.Off = numbers[0], numbers[0]+numbers[1], unzigzag(numbers[2])
	for total := uint64(0); total != p.N; {
		count, err := n.counts.next()
		if err != nil {
			return err
		}
		if count == 0 || count > p.N-total || len(p.Counts) == stats.Buckets {
			return fmt.Errorf("column %q: counts do not add up", n.counts.name)
		}
		total += count
		p.Counts = append(p.Counts, count)
	}
	for range len(p.Counts) - 2 {
		gap, err := n.gaps.next()
		if err != nil {
			return err
		}
		p.Gaps = append(p.Gaps, gap)
	}
	n.parts = p
	h, err := p.Histogram()
	if into, ok := v.Addr().Interface().(*stats.Histogram); ok {
		*into = h
	}
	return err
}

// timeNode stores times as nanoseconds since the base of the frame.
type timeNode struct{ since, zone *column }

const (
	// noTime and farTime are no nanoseconds: the zero time, and a time of which seconds and nanoseconds of the Unix
	// epoch follow, because it is more than 100 years from the base. Nanoseconds begin with nearTime.
	noTime = iota
	farTime
	nearTime

	secondsOfDay = 24 * 60 * 60
	nearYears    = 100 * 365 * 24 * time.Hour
)

func (n *timeNode) write(r *rows, v reflect.Value) error {
	t, ok := v.Addr().Interface().(*time.Time)
	if !ok {
		return fmt.Errorf("%s is no time", v.Type())
	}
	if t.IsZero() {
		n.since.add(noTime)
		return nil
	}
	// Without its monotonic reading, a time is what is stored of it. Sub is exact within its range, which is larger.
	if d := t.Round(0).Sub(r.base); d > -nearYears && d < nearYears {
		n.since.add(zigzag(int64(d)) + nearTime)
	} else {
		n.since.add(farTime)
		n.since.add(zigzag(t.Unix()))
		n.since.add(uint64(t.Nanosecond())) // #nosec G115 -- it is below a second
	}
	_, offset := t.Zone()
	n.zone.add(zigzag(int64(offset)))
	return nil
}

func (n *timeNode) read(r *rows, v reflect.Value) error {
	since, err := n.since.next()
	if err != nil || since == noTime {
		return err
	}
	var t time.Time
	if since == farTime {
		var seconds, nanoseconds uint64
		if seconds, err = n.since.next(); err == nil {
			nanoseconds, err = n.since.next()
		}
		if nanoseconds >= uint64(time.Second) {
			return fmt.Errorf("column %q: %d ns are out of range", n.since.name, nanoseconds)
		}
		t = time.Unix(unzigzag(seconds), int64(nanoseconds)) // #nosec G115 -- it is below a second
	} else {
		t = r.base.Add(time.Duration(unzigzag(since - nearTime)))
	}
	if err != nil {
		return err
	}
	offset, err := n.zone.next()
	switch seconds := unzigzag(offset); {
	case seconds <= -secondsOfDay || seconds >= secondsOfDay:
		return fmt.Errorf("column %q: a time zone %d s from UTC is out of range", n.zone.name, seconds)
	case seconds != 0:
		t = t.In(time.FixedZone("", int(seconds)))
	default:
		t = t.UTC()
	}
	if into, ok := v.Addr().Interface().(*time.Time); ok {
		*into = t
	}
	return err
}
