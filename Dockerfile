# The image of the webhook: one static binary and the certificate authorities, no shell, no package manager.
#
#   docker build .                          builds the binary in ${BUILDER}, then the image
#   .ci/image-root target/image \
#     && docker build --target prebuilt .   takes a binary built beforehand: for machines without base images
#
# Both ways end in the same image; tests/image.sh checks it.

# Any image with Rust 1.95, a C compiler, bash and ca-certificates.
ARG BUILDER=docker.io/library/rust:1.95-bookworm

FROM scratch AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pratique" \
      org.opencontainers.image.description="A Kubernetes admission webhook that verifies in-toto supply chains through TUF" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/pratique"]

FROM runtime AS prebuilt
COPY target/image/ /

FROM ${BUILDER} AS build
WORKDIR /pratique
COPY . .
RUN .ci/image-root /image

FROM runtime
COPY --from=build /image/ /
