package store

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"reflect"
	"strings"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
)

// deepest bounds how deep values may lie within each other.
const deepest = 32

// node writes and reads values of one type. What it writes goes to columns of its own.
type node interface {
	write(r *rows, v reflect.Value) error
	// read sets v, which is zero before.
	read(r *rows, v reflect.Value) error
}

// node returns the node for a type, at the place with the name.
func (r *rows) node(of reflect.Type, name string, depth int) (node, error) {
	if depth > deepest {
		return nil, fmt.Errorf("%s: values lie too deep within each other", name)
	}
	switch of {
	case reflect.TypeFor[target.Target]():
		return &targetNode{column: r.column(name)}, nil
	case reflect.TypeFor[stats.Histogram]():
		return r.histogram(name), nil
	case reflect.TypeFor[time.Time]():
		return &timeNode{since: r.column(name), zone: r.column(name + "@")}, nil
	case reflect.TypeFor[report.Phases]():
		return r.phases(of, name, depth)
	}
	if reflect.PointerTo(of).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return textNode{r.column(name)}, nil
	}
	switch of.Kind() {
	case reflect.Struct:
		return r.structure(of, name, depth)
	case reflect.Pointer:
		return &pointerNode{column: r.column(name), of: of.Elem(), depth: depth}, nil
	case reflect.Slice:
		return &listNode{length: r.column(name), of: of.Elem(), depth: depth}, nil
	case reflect.Map:
		return r.table(of, name, depth)
	default:
		return r.scalar(of, name)
	}
}

// scalar returns the node of a type that takes one number.
func (r *rows) scalar(of reflect.Type, name string) (node, error) {
	switch of.Kind() {
	case reflect.Bool:
		return boolNode{r.column(name)}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return intNode{r.column(name)}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return uintNode{r.column(name)}, nil
	case reflect.Float64:
		return floatNode{r.column(name)}, nil
	case reflect.String:
		return &stringNode{column: r.column(name)}, nil
	default:
		return nil, fmt.Errorf("%s: nobody knows how to store a %s", name, of)
	}
}

type boolNode struct{ *column }

func (n boolNode) write(_ *rows, v reflect.Value) error {
	if v.Bool() {
		n.add(1)
		return nil
	}
	n.add(0)
	return nil
}

func (n boolNode) read(_ *rows, v reflect.Value) error {
	number, err := n.next()
	v.SetBool(number != 0)
	return err
}

type intNode struct{ *column }

func (n intNode) write(_ *rows, v reflect.Value) error {
	n.add(zigzag(v.Int()))
	return nil
}

func (n intNode) read(_ *rows, v reflect.Value) error {
	number, err := n.next()
	if v.OverflowInt(unzigzag(number)) {
		return fmt.Errorf("column %q: %d is out of range", n.name, unzigzag(number))
	}
	v.SetInt(unzigzag(number))
	return err
}

type uintNode struct{ *column }

func (n uintNode) write(_ *rows, v reflect.Value) error {
	n.add(v.Uint())
	return nil
}

func (n uintNode) read(_ *rows, v reflect.Value) error {
	number, err := n.next()
	if v.OverflowUint(number) {
		return fmt.Errorf("column %q: %d is out of range", n.name, number)
	}
	v.SetUint(number)
	return err
}

// floatNode stores the bits of a number with the exponent last, so that round numbers are short.
type floatNode struct{ *column }

func (n floatNode) write(_ *rows, v reflect.Value) error {
	n.add(bits.ReverseBytes64(math.Float64bits(v.Float())))
	return nil
}

func (n floatNode) read(_ *rows, v reflect.Value) error {
	number, err := n.next()
	v.SetFloat(math.Float64frombits(bits.ReverseBytes64(number)))
	return err
}

type stringNode struct {
	*column
	// text is the string that was written last, at its index.
	text string
	at   uint64
}

func (n *stringNode) write(r *rows, v reflect.Value) error {
	if s := v.String(); s != n.text {
		n.text, n.at = s, r.dictionary.indexOf(s)
	}
	n.add(n.at)
	return nil
}

func (n *stringNode) read(r *rows, v reflect.Value) error {
	at, err := n.next()
	if err != nil {
		return err
	}
	s, err := r.dictionary.string(at)
	v.SetString(s)
	return err
}

// textNode stores values by the names that they give themselves.
type textNode struct{ *column }

func (n textNode) write(r *rows, v reflect.Value) error {
	marshaler, ok := v.Interface().(encoding.TextMarshaler)
	if !ok {
		return fmt.Errorf("column %q: a %s has no name", n.name, v.Type())
	}
	text, err := marshaler.MarshalText()
	if err != nil {
		return fmt.Errorf("column %q: %w", n.name, err)
	}
	n.add(r.dictionary.indexOf(string(text)))
	return nil
}

func (n textNode) read(r *rows, v reflect.Value) error {
	at, err := n.next()
	if err != nil || at == 0 {
		return err
	}
	text, err := r.dictionary.string(at)
	if err != nil {
		return err
	}
	into, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	if !ok {
		return fmt.Errorf("column %q: a %s has no name", n.name, v.Type())
	}
	return into.UnmarshalText([]byte(text))
}

// targetNode stores targets by their index. Agents probe the same targets in the same order, so the next one is
// likely.
type targetNode struct {
	*column
	likely uint64
}

func (n *targetNode) write(r *rows, v reflect.Value) error {
	of, ok := v.Addr().Interface().(*target.Target)
	if !ok {
		return errors.New("it is no target")
	}
	at := r.dictionary.indexOfTarget(of, n.likely)
	n.likely = at + 1
	n.add(at)
	return nil
}

func (n *targetNode) read(r *rows, v reflect.Value) error {
	at, err := n.next()
	if err != nil {
		return err
	}
	of, err := r.dictionary.target(at)
	if err != nil {
		return err
	}
	if into, ok := v.Addr().Interface().(*target.Target); ok {
		*into = *of
	}
	return nil
}

// structNode stores the fields one by one.
type structNode struct {
	fields []node
	// at are the indices of the fields.
	at []int
}

func (r *rows) structure(of reflect.Type, name string, depth int) (node, error) {
	n := &structNode{}
	for i := range of.NumField() {
		field := of.Field(i)
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case tag == "-":
			continue
		case tag == "" || field.Anonymous || !field.IsExported():
			return nil, fmt.Errorf("%s.%s has no name of its own in JSON", of, field.Name)
		}
		child, err := r.node(field.Type, strings.TrimPrefix(name+"."+tag, "."), depth+1)
		if err != nil {
			return nil, err
		}
		n.fields, n.at = append(n.fields, child), append(n.at, i)
	}
	return n, nil
}

func (n *structNode) write(r *rows, v reflect.Value) error {
	for i, field := range n.fields {
		if err := field.write(r, v.Field(n.at[i])); err != nil {
			return err
		}
	}
	return nil
}

func (n *structNode) read(r *rows, v reflect.Value) error {
	for i, field := range n.fields {
		if err := field.read(r, v.Field(n.at[i])); err != nil {
			return err
		}
	}
	return nil
}

// phases stores the times by the names of the phases.
func (r *rows) phases(of reflect.Type, name string, depth int) (node, error) {
	n := &phasesNode{}
	for phase := range probe.Phases {
		child, err := r.node(of.Elem(), name+"."+phase.String(), depth+1)
		if err != nil {
			return nil, err
		}
		n.phases = append(n.phases, child)
	}
	return n, nil
}

type phasesNode struct{ phases []node }

func (n *phasesNode) write(r *rows, v reflect.Value) error {
	for i, phase := range n.phases {
		if err := phase.write(r, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (n *phasesNode) read(r *rows, v reflect.Value) error {
	for i, phase := range n.phases {
		if err := phase.read(r, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}
