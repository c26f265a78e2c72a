// Fetches targets with go-tuf from a folder that it serves itself.
//
//	go run . REPOSITORY ROOT PATH...
//
// Prints a line with digest and path for each.
package main

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A role's name is percent-encoded in its file's name: decoding `%2F` would make a folder of it.
func files(repository string) http.Handler {
	targets := http.FileServer(http.Dir(repository))
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if !strings.HasPrefix(request.URL.Path, "/metadata/") {
			targets.ServeHTTP(answer, request)
			return
		}
		content, err := os.ReadFile(repository + request.URL.EscapedPath())
		if err != nil {
			http.NotFound(answer, request)
			return
		}
		_, _ = answer.Write(content)
	})
}

func run(repository, root string, paths []string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, files(repository)) }()
	url := "http://" + listener.Addr().String()

	trusted, err := os.ReadFile(root)
	if err != nil {
		return err
	}
	client, err := config.New(url+"/metadata/", trusted)
	if err != nil {
		return err
	}
	client.RemoteTargetsURL = url + "/targets/"
	client.DisableLocalCache = true
	tuf, err := updater.New(client)
	if err != nil {
		return err
	}
	if err := tuf.Refresh(); err != nil {
		return err
	}
	for _, path := range paths {
		info, err := tuf.GetTargetInfo(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		_, content, err := tuf.DownloadTarget(info, "", "")
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Printf("%x %s\n", sha256.Sum256(content), path)
	}
	return nil
}
