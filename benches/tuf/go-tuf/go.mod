module go-tuf-client

go 1.24

require github.com/theupdateframework/go-tuf/v2 v2.4.2
