#!/bin/sh
# sh slurm_array.sh night-1: submits the parts that are missing, and the commit of all of them.
set -eu
job=$1
missing=$(python slurm_array.py missing "$job")
after=
if [ -n "$missing" ]; then
  array=$(sbatch --parsable --requeue --array="$missing" --wrap="python slurm_array.py write $job")
  after=--dependency=afterok:${array%%;*}
fi
sbatch $after --requeue --kill-on-invalid-dep=yes --output=commit.out --wrap="python slurm_array.py commit $job"
