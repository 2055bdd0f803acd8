module pic4ser/lab/pause

go 1.26.0

