#!/bin/bash
# ovsam on the nodes of one SLURM job: a Ray node on each, the command itself on the first.
#
#     sbatch --nodes=4 --gpus-per-node=8 --time=08:00:00 examples/cluster/slurm.sh \
#         /data/photos -o /data/labels --vocabulary coco --time-limit 7h45m
#
# What follows the script's name goes to `ovsam label`. Its exit code is the job's: 6 and 130 mean
# that images are left, and the same sbatch command goes on with them.
#SBATCH --job-name=ovsam
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --exclusive
#SBATCH --time=04:00:00
# On preemption, and three minutes before the end: SIGTERM to this shell, which passes it on.
#SBATCH --signal=B:TERM@180
set -uo pipefail

export RAY_USAGE_STATS_ENABLED=0
export RAY_TMPDIR="${RAY_TMPDIR:-/tmp/ray-$SLURM_JOB_ID}"   # of the node, and short: sockets live in it
mkdir -p "$RAY_TMPDIR"
# Other users of the network must not run code here: a token for this job alone.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN="$(python3 -c 'import secrets; print(secrets.token_hex(32))')"
export RAY_AUTH_TOKEN

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
address="${nodes[0]}:$((20000 + SLURM_JOB_ID % 10000))"
steps=()
labelling=
is_stopping=

pass_on() {
    is_stopping=1
    is_signalled=1
    [ -z "$labelling" ] || kill -TERM "$labelling"
}
trap pass_on TERM INT

stop_steps() {
    [ -z "${steps[*]}" ] || kill "${steps[@]}" 2>/dev/null
    wait
}
trap stop_steps EXIT

start_ray() {  # nodes of the step, then what goes to `ray start`
    local where=("--nodes=$1" "--ntasks=$1" "--ntasks-per-node=1" "$2")
    shift 2
    # srun does not take --cpus-per-task from the job; node-local folders have to be made by each.
    srun "${where[@]}" --cpus-per-task="$SLURM_CPUS_PER_TASK" --export=ALL \
        bash -c 'mkdir -p "$RAY_TMPDIR" && exec "$@"' - \
        ray start --block --disable-usage-stats --num-cpus="$SLURM_CPUS_PER_TASK" "$@" &
    steps+=("$!")
}

start_ray 1 "--nodelist=${nodes[0]}" --head --port="${address##*:}" --include-dashboard=false
until ray status --address "$address" >/dev/null 2>&1; do
    [ -z "$is_stopping" ] || exit 130
    kill -0 "${steps[0]}" 2>/dev/null || { echo "slurm.sh: no Ray on ${nodes[0]}" >&2; exit 1; }
    sleep 1
done
if [ "${#nodes[@]}" -gt 1 ]; then
    start_ray "$((${#nodes[@]} - 1))" "--exclude=${nodes[0]}" --address="$address"
fi

# Nodes that join later are used as soon as they are there.
ovsam label "$@" --address "$address" &
labelling=$!
[ -z "$is_stopping" ] || kill -TERM "$labelling"
while is_signalled=; wait "$labelling"; code=$?; [ -n "$is_signalled" ]; do
    :  # the signal ended the wait, not the command
done
exit "$code"
