module regctl.test/servers/pause

go 1.26.0
