#!/usr/bin/env bash
# Everything worth knowing of a GPU in under ten minutes: what it can do at most, how near this program comes, what PyTorch does.
#
#   SPARROW=./sparrow OUT=results bench/gpu.sh
#
# SPARROW  the command to run (default: npx sparrow; the launcher of the offline pack is another)
# OUT      the folder for the results, one JSON file a part, and all of them in results.jsonl, which `sparrow bench --page FILE.html` draws
#          (default: gpu-results)
# PYTHON   a Python with PyTorch (default: python3); ADAPTER the adapter's kind (default: gpu)
# QUICK=1  tiny sizes, to see that every part runs
#
# A part that fails or takes too long is recorded in $OUT/parts.tsv, its messages in $OUT/PART.log, and the rest goes on. Parts that decide
# most come first: BUDGET seconds (default: 570) after the start no further part begins.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
read -r -a sparrow <<<"${SPARROW:-npx sparrow}"
out=${OUT:-gpu-results}
python=${PYTHON:-python3}
adapter=${ADAPTER:-gpu}
budget=${BUDGET:-570}
mkdir -p "$out" || exit 1
printf 'part\texit\tseconds\n' >"$out/parts.tsv"

# part NAME SECONDS COMMAND...: runs a command within its time and the budget, its standard output in $out/NAME.json
part() {
  local name=$1 limit=$2 begun=$SECONDS code=0 left=$((budget - SECONDS))
  shift 2
  if ((left < 5)); then
    printf '%s\tleft out\t0\n' "$name" >>"$out/parts.tsv"
    return
  fi
  timeout -k 5 $((limit < left ? limit : left)) "$@" >"$out/$name.part" 2>"$out/$name.log" || code=$?
  if [[ -s $out/$name.part ]]; then mv "$out/$name.part" "$out/$name.json"; else rm -f "$out/$name.part"; fi
  printf '%s\t%s\t%s\n' "$name" "$code" $((SECONDS - begun)) >>"$out/parts.tsv"
  ((code == 0)) || echo "$name: failed ($code) $(tail -n 1 "$out/$name.log")" >&2
}

bench() {
  local name=$1 limit=$2
  shift 2
  part "$name" "$limit" "${sparrow[@]}" bench --adapter "$adapter" --json --quiet "$@"
}

if [[ ${QUICK:-0} == 1 ]]; then
  sparse_conv=(--shapes 64x8 --samples 1) kernel=(--small --samples 2) conv=(--samples 1) batches=(1 2) torch=(--quick --train-step 1)
  step=(--width 2 --train-step 1 --samples 1) steps=(2 3) tune=(--arch resnet8 --width 2 --budget 1)
else
  # the stages, and layers of few channels
  sparse_conv=(--shapes 64x32,128x16,256x8,512x4,3-64x32,16x32 --samples 5)
  kernel=(--samples 5) conv=(--samples 5) batches=(8 128) torch=(--samples 5)
  step=(--samples 5) steps=(128 512) tune=(--budget 100)
fi

part adapters 30 "${sparrow[@]}" adapters --json
bench limits 40 --suite limits
bench "step-${steps[0]}" 60 --suite step "${step[@]}" --batch-size "${steps[0]}" --profile
for batch in "${batches[@]}"; do bench "conv-$batch" 45 --suite conv "${conv[@]}" --batch-size "$batch"; done
bench "step-${steps[1]}" 60 --suite step "${step[@]}" --batch-size "${steps[1]}"
part torch 150 "$python" "$here/torch/measure.py" "${torch[@]}"
for init in uniform igq; do
  for density in 0.2 0.1 0.05; do
    bench "step-${steps[0]}-$init-$density" 45 --suite step "${step[@]}" --batch-size "${steps[0]}" --density "$density" --sparse-init "$init"
  done
done
bench sparse 60 --suite sparse "${sparse_conv[@]}" --batch-size "${batches[1]}"
for batch in "${steps[@]}"; do bench "step-$batch-f16" 60 --suite step "${step[@]}" --batch-size "$batch" --precision f16 --profile; done
for batch in "${batches[@]}"; do bench "conv-$batch-f16" 45 --suite conv "${conv[@]}" --batch-size "$batch" --precision f16; done
bench "norm-${batches[1]}" 30 --suite norm --batch-size "${batches[1]}" --samples 5
bench launch 30 --suite launch
# the message for a kernel that is not there names those that are
kernels=$("${sparrow[@]}" bench --kernel '?' 2>&1 | grep -oE '\b(conv|winograd|matmul|norm|spread|pick|fill)[a-z0-9_]*')
for name in $kernels; do bench "kernel-$name" 30 --kernel "$name" "${kernel[@]}"; done
# last, what the tuner chooses, Winograd's convolutions among it, in a cache of its own; and the step with that
export SPARROW_CACHE=$out/cache
bench tune 120 --tune "${tune[@]}" --batch-size "${steps[0]}"
bench "step-${steps[0]}-tuned" 60 --suite step "${step[@]}" --batch-size "${steps[0]}" --profile
unset SPARROW_CACHE

echo
cat "$out/parts.tsv"
echo
"$python" "$here/torch/summary.py" "$out" || echo "no summary: the results are in $out" >&2
