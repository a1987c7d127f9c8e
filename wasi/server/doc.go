// Package server is what every door of a speech server shares: a loaded engine with its voices, limits, keys, logs and
// figures. The doors are the subpackages, each of which speaks one protocol and is an http.Handler, or serves a listener,
// of its own:
//
//	service, err := server.New(server.Options{})
//	if err != nil { ... }
//	defer service.Close()
//	if err := service.Start(ctx, engine, nil); err != nil { ... }
//	listener, err := net.Listen("tcp", "127.0.0.1:8000")
//	if err != nil { ... }
//	err = service.Serve(ctx, listener, openai.New(service, openai.Options{}))
//
// A service speaks as soon as Start has returned; doors may be open before, and answer until then that the model is
// loading.
//
// # Limits
//
// [Limits] bounds what a request may ask for: length of the text, bytes of an upload, length of the sound, time. The
// number of streams that advance at once, and of those that wait, is the engine's (pockettts.Options.MaxStreams and
// MaxQueue). The length of the sound needs a bound of its own: one "word" of 500 combining accents would be spoken for
// minutes.
//
// # Who may ask
//
// [Service.Guard] stands before every HTTP door: the key if there is one, the Host of servers on a loopback address
// (against DNS rebinding), the Origin of browsers, CORS, the size of the body. Nothing that a request names is used as a
// path, and no URL in a request is fetched unless Options.AllowVoiceURLs has a prefix of it.
package server
