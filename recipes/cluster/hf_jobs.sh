#!/bin/bash
# A build, or a training, as one job of the Hub (`hf jobs`): one machine, and the result is pushed at its end.
#
#   recipes/cluster/hf_jobs.sh build longvpo-16k/dataset me/my-triplets writer.endpoint=null
#   recipes/cluster/hf_jobs.sh train internvl3-8b/stage1 me/my-stage1 data.dataset=me/my-triplets data.videos={}
#
# FLAVOR names the machine (`hf jobs hardware`), SOURCE what pip installs. A job's disk ends with it: what is killed begins
# anew, so the training is one that fits in TIMEOUT. `hf jobs run --dry-run` takes these lines; no job was run.
set -euo pipefail
what=$1 recipe=$2 repo=$3
shift 3
source=${SOURCE:?say where pip finds longvpo: the address of a wheel, or git+https://...}
case $what in
    build)
        package="longvpo[ray] @ $source"
        run='longvpo build-dataset "$@" --engine ray --output /tmp/result --push'
        ;;
    train)
        package="longvpo @ $source"
        run='longvpo recipes accelerate/ddp > ddp.yaml && accelerate launch --config_file ddp.yaml'
        run+=' --num_processes "$(nvidia-smi -L | wc -l)" -m longvpo train "$@" --output /tmp/result --push'
        ;;
    *) echo "build or train, not $what" >&2; exit 1 ;;
esac
# shellcheck disable=SC2016  # the job's own arguments
hf jobs run --detach --flavor "${FLAVOR:-a100x4}" --timeout "${TIMEOUT:-24h}" --secrets HF_TOKEN ${HF_JOBS_OPTIONS:-} \
    python:3.12 bash -c 'pip install -q "$1" && shift && '"$run" longvpo "$package" "$recipe" --repo-id "$repo" "$@"
