// What the webhook is measured beside and on: a webhook that admits everything, and a web server for TUF repositories, which
// says at /requests how many there were for anything else.
//
//	servers null ADDRESS TLS-DIR
//	servers files ADDRESS DIR
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
)

// As little of a review as a webhook can do with.
type review struct {
	Request struct {
		UID string `json:"uid"`
	} `json:"request"`
}

// What every webhook has to answer, and no more.
type answer struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Response   response `json:"response"`
}

type response struct {
	UID     string `json:"uid"`
	Allowed bool   `json:"allowed"`
}

func admit(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var asked review
	if err := json.Unmarshal(body, &asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	given := answer{"admission.k8s.io/v1", "AdmissionReview", response{asked.Request.UID, true}}
	if err := json.NewEncoder(w).Encode(given); err != nil {
		log.Print(err)
	}
}

func counting(files http.Handler) http.Handler {
	var asked atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/requests" {
			fmt.Fprintln(w, asked.Load())
			return
		}
		asked.Add(1)
		files.ServeHTTP(w, r)
	})
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: servers null ADDRESS TLS-DIR | servers files ADDRESS DIR")
		os.Exit(2)
	}
	address, dir := os.Args[2], os.Args[3]
	switch os.Args[1] {
	case "null":
		server := &http.Server{Addr: address, Handler: http.HandlerFunc(admit)}
		log.Fatal(server.ListenAndServeTLS(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")))
	case "files":
		log.Fatal(http.ListenAndServe(address, counting(http.FileServer(http.Dir(dir)))))
	default:
		log.Fatalf("no server %q", os.Args[1])
	}
}
