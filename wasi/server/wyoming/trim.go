// Cutting the beginning of speech away that was only there to be cut: models before 4.x lost the first sounds of a text,
// and were given three dots to lose.

package wyoming

import "time"

// Trim says where speech of "... " and a text may be cut. Zero is the default.
type Trim struct {
	Min time.Duration // nothing before it is looked at: 100 ms
	Max time.Duration // nor after it: 1 s
	Gap time.Duration // so much silence ends the dots: 80 ms
}

// silence is the part of the loudest sample that is silence.
const silence = 0.01

func (t Trim) withDefaults() Trim {
	for _, one := range []struct {
		to     *time.Duration
		preset time.Duration
	}{{&t.Min, 100 * time.Millisecond}, {&t.Max, time.Second}, {&t.Gap, 80 * time.Millisecond}} {
		if *one.to == 0 {
			*one.to = one.preset
		}
	}
	return t
}

// window is how many samples must be there before the place of the cut is known; fewer only at the end of the speech.
func (t Trim) window(rate int) int { return samples(t.Max, rate) }

// cut is the sample with which the text begins: behind the first gap of silence between Min and Max, and at Min where
// there is none. x is what there is of the window.
func (t Trim) cut(x []float32, rate int) int {
	loudest := float32(0)
	for _, value := range x {
		loudest = max(loudest, abs(value))
	}
	threshold := silence * loudest
	first := min(samples(t.Min, rate), len(x))
	end := min(len(x), samples(t.Max, rate))
	for i := first; i < end; {
		begin := i
		for i < end && abs(x[i]) < threshold {
			i++
		}
		if i-begin >= samples(t.Gap, rate) && i > begin {
			return i
		}
		if i == begin {
			i++
		}
	}
	return first
}

func samples(d time.Duration, rate int) int { return int(int64(d) * int64(rate) / int64(time.Second)) }

func abs(x float32) float32 { return max(x, -x) }
