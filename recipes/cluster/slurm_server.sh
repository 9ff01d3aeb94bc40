#!/bin/bash
# A build whose writer stands behind vLLM: servers take all GPUs of this job but one, which is the judge's.
#
#   sbatch recipes/cluster/slurm_server.sh longvpo-16k/dataset OUTPUT [KEY=VALUE ...]
#
# vLLM has an environment of its own: VLLM is its command. The server's line stands in the head of the recipe. The job
# goes into the queue again when its time ends, and the build resumes. Not run on a cluster.
#SBATCH --job-name=longvpo-server
#SBATCH --nodes=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@300
set -euo pipefail
recipe=$1 output=$2
shift 2
model=${MODEL:-OpenGVLab/InternVL3-8B-hf}
port=$((20000 + SLURM_JOB_ID % 20000))
gpus=${CUDA_VISIBLE_DEVICES:?has no value: Slurm names the GPUs of a job in it}
commas=${gpus//[^,]/} serving=${#commas}
if ((serving == 0)); then
    echo "one GPU: ask for one for the judge, and one or more for servers" >&2
    exit 1
fi

build=
again() {  # 300 seconds before the end
    kill -TERM "$build" 2>/dev/null || true
    wait "$build" || true
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
trap again USR1

CUDA_VISIBLE_DEVICES=${gpus%,*} "${VLLM:-vllm}" serve "$model" --host 127.0.0.1 --port "$port" \
    --data-parallel-size "$serving" --dtype bfloat16 --max-model-len 40960 \
    --limit-mm-per-prompt '{"image": 0, "video": 1}' --media-io-kwargs '{"video": {"num_frames": -1}}' &
server=$!
until curl --silent --fail --output /dev/null "http://127.0.0.1:$port/health"; do
    kill -0 "$server"  # ends this job where the server has ended
    sleep 5
done

CUDA_VISIBLE_DEVICES=${gpus##*,} longvpo build-dataset "$recipe" "writer.endpoint.url=http://127.0.0.1:$port/v1" \
    "writer.endpoint.concurrency=$((32 * serving))" "$@" --output "$output" &
build=$!
wait "$build"
