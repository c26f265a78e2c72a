module go-in-toto

go 1.24

require github.com/in-toto/in-toto-golang v0.11.0
