package main

import (
	"fmt"
	"net/http"
)

// Answers the HTTP probes that upstream charts may have for NFD and the sidecars.
func answerHealth() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, "ok") })
	_ = http.ListenAndServe(":"+setting("HEALTH_PORT", "8080"), mux) // a second one in the same pod finds the port taken
}
