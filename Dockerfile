# llmlimit in an image without a shell, as a user without rights, writing nothing:
#
#   docker build -t llmlimit .
#   docker run --rm --read-only llmlimit run
#
# Reports need a place: -v "$PWD:/work" -w /work, and --user "$(id -u)".
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=""
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /llmlimit ./cmd/llmlimit

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /llmlimit /usr/local/bin/llmlimit
ENTRYPOINT ["/usr/local/bin/llmlimit"]
CMD ["--help"]
