#!/bin/bash
# A build on a Ray cluster that lives as long as this job: one machine begins it, the others join.
#
#   sbatch recipes/cluster/slurm_build.sh RECIPE OUTPUT [KEY=VALUE ...]
#
# OUTPUT, the sources' folders and the environment with longvpo[ray] must be on a disk that all machines see. The job goes
# into the queue again when its time ends or a machine is lost, and the build resumes. Not run on a cluster.
#SBATCH --job-name=longvpo-build
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
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
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK  # srun has not taken it from the job since Slurm 22.05
gpus=${SLURM_GPUS_PER_NODE##*:}                  # it may say `h100:8`

build=
again() {  # 300 seconds before the end
    kill -TERM "$build" 2>/dev/null || true
    wait "$build" || true
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
trap again USR1

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST") head=${head%%$'\n'*}
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address) address=${address%% *}
export RAY_ADDRESS="$address:$((20000 + SLURM_JOB_ID % 20000))"  # by which --engine ray finds this cluster
export RAY_USAGE_STATS_ENABLED=0
shape=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$gpus" --block)

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="$address" --port="${RAY_ADDRESS##*:}" "${shape[@]}" &
cluster=$!
until ray health-check --address "$RAY_ADDRESS" 2>/dev/null; do
    kill -0 "$cluster"  # ends this job where Ray has ended
    sleep 2
done
if ((SLURM_JOB_NUM_NODES > 1)); then
    srun --overlap --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
        ray start --address="$RAY_ADDRESS" "${shape[@]}" &
fi

longvpo build-dataset "$recipe" "$@" --output "$output" \
    --engine ray --workers $((SLURM_JOB_NUM_NODES * gpus)) &
build=$!
wait "$build"
