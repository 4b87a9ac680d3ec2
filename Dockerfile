# syntax=docker/dockerfile:1

# Two stages: a Debian with Rust and a C compiler builds, and only the executable goes on. It has no built-in Azure: the
# image is for real clusters. Nothing here names a processor, so `docker buildx build --platform linux/amd64,linux/arm64 .`
# builds both. For a release, pin the images by their digests:
#   --build-arg BUILD_IMAGE=rust:1.95-slim-bookworm@sha256:… --build-arg BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:…
#
# The second stage is "distroless": glibc, the certificate authorities that Azure's are checked against, time zones,
# a user without rights, and neither shell nor package manager. Its Debian is the one of the first stage, as the
# executable is linked against that glibc.

ARG BUILD_IMAGE=rust:1.95-slim-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# hadolint ignore=DL3006
FROM ${BUILD_IMAGE} AS build
WORKDIR /src
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo install --locked cargo-cyclonedx@0.5.9
COPY . .
# The caches outlive this build: an unchanged dependency is neither downloaded nor compiled again. They are no part of
# the image, so the executable is copied out of them in the same step. Two platforms do not share a target folder.
ARG TARGETPLATFORM=native
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=norman-aks-target-${TARGETPLATFORM} \
    cargo build --locked --profile dist --package norman-aks --no-default-features \
    && cp target/dist/norman-aks /norman-aks \
    && mkdir /data
# The list of dependencies of exactly this executable: the same features, and the processor of this machine.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo cyclonedx --format json --spec-version 1.5 --no-default-features --no-build-deps --target "$(rustc --print host-tuple)" \
        --override-filename sbom \
    && cp sbom.json /sbom.cdx.json

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="norman-aks" \
      org.opencontainers.image.description="Rancher's AKS actions, Azure cloud credentials and AKS clusters as one small server" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /norman-aks /usr/local/bin/norman-aks
COPY --from=build --chown=65532:65532 --chmod=0700 /data /data
COPY LICENSE /usr/share/doc/norman-aks/LICENSE
COPY --from=build /sbom.cdx.json /usr/share/doc/norman-aks/sbom.cdx.json

# Inside a container only the container's own address reaches the host, and /data is the place for a volume.
# SQLITE_TMPDIR: with a read-only file system, SQLite has no other place for temporary files, and migrations fail.
# RUST_LIB_BACKTRACE=0: a panic may still show where it happened, but no failed request to Azure walks the stack.
ENV NORMAN_AKS_LISTEN=0.0.0.0:8080 \
    NORMAN_AKS_DATA_DIR=/data \
    SQLITE_TMPDIR=/data \
    RUST_LIB_BACKTRACE=0
EXPOSE 8080
VOLUME /data
# A number, as Kubernetes cannot tell that a name is not root.
USER 65532:65532
# The executable asks itself; there is no curl here.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --start-interval=1s \
    CMD ["/usr/local/bin/norman-aks", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/norman-aks"]
CMD ["serve"]
