package infer

import "math"

// weight is how many failures are expected with a probability.
type weight struct{ expected, count float64 }

// scale has what speaks for and against a fault of one component, by class of traffic.
type scale struct {
	// fresh are failures that only background would explain, known those that something else may explain.
	fresh [buckets]float64
	known [buckets][]weight
}

func (s *scale) clear() {
	for b := range s.known {
		s.fresh[b], s.known[b] = 0, s.known[b][:0]
	}
}

// add adds failures. Those with nearly the same expectation are added up.
func (s *scale) add(b bucket, expected, count float64) {
	const near, most = 0.002, 24
	list := s.known[b]
	for i := range list {
		if math.Abs(list[i].expected-expected) <= near*expected {
			list[i].count += count
			return
		}
	}
	if len(list) < most {
		s.known[b] = append(list, weight{expected, count})
		return
	}
	closest := 0
	for i := range list {
		if math.Abs(list[i].expected-expected) < math.Abs(list[closest].expected-expected) {
			closest = i
		}
	}
	w := &list[closest]
	w.expected = (w.expected*w.count + expected*count) / (w.count + count)
	w.count += count
}

// most is by how many nats a fault could make the failures likelier at best.
func (s *scale) most(background float64) (nats float64) {
	for b := range s.fresh {
		nats -= s.fresh[b] * math.Log(background)
		for _, w := range s.known[b] {
			nats -= w.count * math.Log(w.expected)
		}
	}
	return nats
}

// fit is a severity and by how many nats the observations are likelier with it than without.
type fit struct{ severity, gain float64 }

// fit returns the severity with which the traffic's observations are likeliest.
func (s *scale) fit(traffic mask, passed *[buckets]float64, background float64) fit {
	var fresh, through float64
	var known []weight
	for b := range s.fresh {
		if !traffic.has(bucket(b)) {
			continue
		}
		fresh += s.fresh[b]
		through += passed[b]
		if len(known) == 0 {
			known = s.known[b]
		} else if len(s.known[b]) > 0 {
			known = append(known[:len(known):len(known)], s.known[b]...)
		}
	}
	if fresh == 0 && len(known) == 0 {
		return fit{}
	}
	q := likeliest(fresh, through, known, background)
	if q <= 0 {
		return fit{}
	}
	f := fit{q, through*math.Log1p(-q) + fresh*math.Log(either(background, q)/background)}
	for _, w := range known {
		f.gain += w.count * math.Log(either(w.expected, q)/w.expected)
	}
	return f
}

// likeliest solves for the severity at which the likelihood, which has one peak, no longer grows.
func likeliest(fresh, through float64, known []weight, background float64) float64 {
	if len(known) == 0 {
		return min(certain, fresh/(fresh+through))
	}
	grows := func(q float64) bool {
		slope := fresh/(background+q) - through/(1-q)
		for _, w := range known {
			slope += w.count * (1 - w.expected) / either(w.expected, q)
		}
		return slope > 0
	}
	if grows(certain) {
		return certain
	}
	low, high := background, certain
	if !grows(low) {
		return 0
	}
	for range 24 {
		if middle := math.Sqrt(low * high); grows(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// either is the probability that at least one of two independent things happens.
func either(a, b float64) float64 { return 1 - (1-a)*(1-b) }
