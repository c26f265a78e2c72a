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

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(repository, root string, paths []string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, http.FileServer(http.Dir(repository))) }()
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
