// What the webhook is measured beside and on: a webhook that admits everything, and web servers for TUF repositories and for
// registries of images, which say at /requests how many there were for anything else.
//
//	servers null ADDRESS TLS-DIR
//	servers files ADDRESS DIR
//	servers far ADDRESS DIR
//	servers registry ADDRESS DIR
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// What a round trip to a server that is far away takes.
const far = 20 * time.Millisecond

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

// Each answer comes as late as if its server were far away.
func late(files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(far)
		files.ServeHTTP(w, r)
	})
}

// A registry of images that reads only: DIR/v2/… as it is asked for, and what a manifest is from itself.
func registry(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		if r.URL.Path == "/v2/" {
			return
		}
		body, err := os.ReadFile(filepath.Join(dir, filepath.Clean(r.URL.Path)))
		if err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintln(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
			return
		}
		kind := "application/octet-stream"
		var manifest struct {
			MediaType string `json:"mediaType"`
		}
		if strings.Contains(r.URL.Path, "/manifests/") && json.Unmarshal(body, &manifest) == nil {
			kind = manifest.MediaType
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256(body)))
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method != http.MethodHead {
			w.Write(body)
		}
	})
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: servers null ADDRESS TLS-DIR | servers files|far|registry ADDRESS DIR")
		os.Exit(2)
	}
	address, dir := os.Args[2], os.Args[3]
	switch os.Args[1] {
	case "null":
		server := &http.Server{Addr: address, Handler: http.HandlerFunc(admit)}
		log.Fatal(server.ListenAndServeTLS(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")))
	case "files":
		log.Fatal(http.ListenAndServe(address, counting(http.FileServer(http.Dir(dir)))))
	case "far":
		log.Fatal(http.ListenAndServe(address, counting(late(http.FileServer(http.Dir(dir))))))
	case "registry":
		log.Fatal(http.ListenAndServe(address, counting(registry(dir))))
	default:
		log.Fatalf("no server %q", os.Args[1])
	}
}
