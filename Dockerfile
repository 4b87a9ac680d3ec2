# syntax=docker/dockerfile:1

# Two stages: the first compiles on Debian with Rust and a C compiler, the second contains only the executable. It has no
# built-in Azure, because the image is for real clusters. The file is independent of the processor, so that
# `docker buildx build --platform linux/amd64,linux/arm64 .` builds for both. For a release, pin the images by their digests:
#   --build-arg BUILD_IMAGE=rust:1.95-slim-bookworm@sha256:… --build-arg BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:…
#
# The second stage is "distroless": glibc, certificate authorities, time zones and an unprivileged user, without a shell or
# package manager. It must be the same Debian release as the first stage, because the executable is linked with that glibc.

ARG BUILD_IMAGE=rust:1.95-slim-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# hadolint ignore=DL3006
FROM ${BUILD_IMAGE} AS build
WORKDIR /src
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo install --locked cargo-cyclonedx@0.5.9
COPY . .
# The caches are kept between builds, so that unchanged dependencies are neither downloaded nor compiled again. They are not
# part of the image, so the executable is copied in the same step. Each platform has its own target directory.
ARG TARGETPLATFORM=native
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=norman-aks-target-${TARGETPLATFORM} \
    cargo build --locked --profile dist --package norman-aks --no-default-features \
    && cp target/dist/norman-aks /norman-aks \
    && mkdir /data
# The SBOM of exactly this executable: the same features and platform.
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

# In a container, a server that listens on loopback cannot be reached from outside. /data is for a volume.
# SQLITE_TMPDIR: with a read-only file system, SQLite has no other directory for temporary files, and migrations fail.
# RUST_LIB_BACKTRACE=0: errors of failed requests to Azure capture no backtrace, which is slow. Panics are still logged with
# their location.
ENV NORMAN_AKS_LISTEN=0.0.0.0:8080 \
    NORMAN_AKS_DATA_DIR=/data \
    SQLITE_TMPDIR=/data \
    RUST_LIB_BACKTRACE=0
EXPOSE 8080
VOLUME /data
# A number, because Kubernetes cannot verify that a name is not root.
USER 65532:65532
# The image has no curl.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --start-interval=1s \
    CMD ["/usr/local/bin/norman-aks", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/norman-aks"]
CMD ["serve"]
