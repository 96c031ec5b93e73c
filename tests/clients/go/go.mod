module kafka-server/tests/clients/go

go 1.24
