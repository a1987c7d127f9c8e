// Figures for Prometheus.

package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

type figures struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	sound    *prometheus.CounterVec
	first    *prometheus.HistogramVec
	open     prometheus.Gauge
}

func newFigures() *figures {
	f := &figures{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pocket_tts_requests_total", Help: "Requests for speech that have ended, by door and by how they ended.",
		}, []string{"door", "result"}),
		sound: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pocket_tts_sound_seconds_total", Help: "Seconds of sound that were made.",
		}, []string{"door"}),
		first: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pocket_tts_first_sound_seconds", Help: "Seconds from a request, waiting included, to its first sound.",
			Buckets: []float64{.01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60},
		}, []string{"door"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pocket_tts_speeches", Help: "Speeches that are open.",
		}),
	}
	f.registry.MustRegister(f.requests, f.sound, f.first, f.open,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return f
}

// Metrics answers in the text format of Prometheus. It stands behind no key by itself: see Guard.
func (s *Service) Metrics() http.Handler {
	return promhttp.HandlerFor(s.figures.registry, promhttp.HandlerOpts{})
}
