#!/usr/bin/env bash
# make demo: what libdcp does, on a checkpoint that PyTorch wrote and on one of a training job's
# size. Everything it makes is in build/demo, removed at the end unless KEEP=1.
. "$(dirname "$0")/common.sh"

BIN="$ROOT/build/release/bin"
FIXTURE="$ROOT/tests/fixtures/golden/torch-2.15/w4/fsdp2/ckpt"
PYTHON="$VENV/bin/python"
DEMO="$ROOT/build/demo"
export PATH="$BIN:$PATH"
rm -rf "$DEMO"
mkdir -p "$DEMO"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$DEMO"' EXIT
cp -r "$FIXTURE" "$DEMO/from_torch"
cd "$DEMO"

title() { printf '\n%s%s%s\n' "$BOLD" "$*" "$RESET"; }
# Shows a command as one would type it, and runs it.
run() {
  printf '%s$ %s%s\n' "$DIM" "$*" "$RESET"
  "$@"
}
done_lines=()
proved() { done_lines+=("$*"); }

title "1. A checkpoint of 4 ranks, FSDP2 and AdamW, written by PyTorch 2.15"
run dcpctl show from_torch
proved "listed a 4-rank FSDP2 + AdamW checkpoint of PyTorch 2.15, without Python"

title "2. Every checksum in it"
run dcpctl verify from_torch
proved "checked every CRC32 that PyTorch wrote"

title "3. Loaded in C, saved again, compared"
run load_all from_torch by_c
run dcpctl diff from_torch by_c
proved "loaded and saved it in C: equal in every name, dtype, shape and bit"

title "4. Loaded in Python, saved again, compared"
printf '%s$ python%s\n' "$DIM" "$RESET"
cat <<'END'
>>> import libdcp
>>> state = libdcp.load("from_torch")
>>> libdcp.save(state, "by_python")
END
"$PYTHON" - <<'END'
import libdcp

state = libdcp.load("from_torch")
libdcp.save(state, "by_python")
weight = state["model"]["emb.weight"]
print(f"model.emb.weight: {weight.dtype} {weight.shape}, first row {weight[0, :4]} ...")
END
run dcpctl diff from_torch by_python
proved "the same in Python, with numpy alone"

title "5. One byte flipped in a copy"
cp -r by_c damaged
"$PYTHON" - <<'END'
import json
import subprocess

# The middle of the largest tensor's payload.
show = json.loads(subprocess.check_output(["dcpctl", "show", "damaged", "--json"]))
entry = max((e for e in show["entries"] if e["kind"] == "tensor"), key=lambda e: e["bytes"])
chunk = max(entry["chunks"], key=lambda c: c["length"])
offset = chunk["offset"] + chunk["length"] // 2
path = "damaged/" + chunk["file"]
with open(path, "r+b") as file:
    file.seek(offset)
    byte = file.read(1)[0]
    file.seek(offset)
    file.write(bytes([byte ^ 1]))
print(f"flipped one bit of byte {offset} of {path}, which is in {entry['name']}")
END
status=0
run dcpctl verify damaged || status=$?
[ "$status" -eq 1 ] || fail "verify ended with $status, not with 1"
proved "one flipped bit: verify names the tensor, the file and the offset, and exits with 1"

title "6. A gigabyte of training state with Llama 3's layers, beside the limit of this disk"
free_kib=$(df -Pk . | awk 'NR == 2 { print $4 }')
if [ "$free_kib" -lt $((3 * 1024 * 1024)) ]; then
  fail "needs 3 GiB of free space in $DEMO, there are $((free_kib / 1024)) MiB"
fi
run llama_state . "${ROUNDS:-3}" | tee llama.txt
proved "$(tail -n 1 llama.txt)"

title "Shown"
for line in "${done_lines[@]}"; do printf '  %s✓%s %s\n' "$GREEN" "$RESET" "$line"; done
