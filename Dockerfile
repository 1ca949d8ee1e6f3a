# The server, as make build left it. It is static and needs nothing but certificates.
FROM gcr.io/distroless/static-debian12:nonroot
COPY bin/waybilld /waybilld
USER 65532:65532
ENTRYPOINT ["/waybilld"]
