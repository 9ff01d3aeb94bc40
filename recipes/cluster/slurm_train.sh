#!/bin/bash
# A training on all GPUs of several machines, by `accelerate launch` on each of them.
#
#   sbatch recipes/cluster/slurm_train.sh RECIPE OUTPUT [KEY=VALUE ...]
#
# OUTPUT, the dataset, and the videos or frames must be on a disk that all machines see. The job goes into the queue again
# when its time ends or a machine is lost; training resumes from its last whole checkpoint, which takes
# `training.save_strategy=steps` and as many machines and GPUs as before. CONFIG=fsdp for a base that is too large for
# DDP. Not run on a cluster.
#SBATCH --job-name=longvpo-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
set -euo pipefail
recipe=$1 output=$2
shift 2
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK  # srun has not taken it from the job since Slurm 22.05
gpus=${SLURM_GPUS_PER_NODE##*:}                  # it may say `h100:8`

run=
again() {  # 120 seconds before the end; what came since the last checkpoint is computed again
    kill -TERM "$run" 2>/dev/null || true
    wait "$run" || true
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
trap again USR1

mkdir -p "$(dirname "$output")"
config="$(dirname "$output")/accelerate-$SLURM_JOB_ID.yaml"
longvpo recipes "accelerate/${CONFIG:-ddp}" > "$config"
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST") head=${head%%$'\n'*}

# shellcheck disable=SC2016  # each machine has a number of its own
srun --kill-on-bad-exit=1 bash -c 'accelerate launch --machine_rank "$SLURM_NODEID" "$@"' accelerate \
    --config_file "$config" --num_machines "$SLURM_JOB_NUM_NODES" --rdzv_backend static \
    --num_processes $((SLURM_JOB_NUM_NODES * gpus)) \
    --main_process_ip "$head" --main_process_port $((20000 + SLURM_JOB_ID % 20000)) \
    -m longvpo train "$recipe" "$@" --output "$output" &
run=$!
wait "$run"
rm "$config"
