module pic4ser/lab/nfs-stand-in

go 1.26.0
