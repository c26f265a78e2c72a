module pratique.dev/benches/webhook/servers

go 1.24
