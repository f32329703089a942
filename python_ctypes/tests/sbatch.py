"""A stand-in of Slurm's sbatch that keeps to what that promises, and makes use of what it allows.

Tasks of an array start in any order, two at a time, each with SLURM_ARRAY_TASK_ID and the number of the array. With
--requeue a task whose node fails starts again from its beginning, with the same numbers and SLURM_RESTART_COUNT: here
nodes fail at any moment of a task, also behind its end. A job behind `afterok` starts when all tasks have ended well,
and with --kill-on-invalid-dep=yes is cancelled if one has not. Options that are not of the guide are refused.

Unlike Slurm it returns when the job is done. STANDIN_SLURM is a directory for what it remembers, STANDIN_FAILS names
tasks that end badly.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def indices(text):
    """Numbers and ranges between commas, as of --array."""
    for part in text.split(","):
        first, last = re.fullmatch(r"(\d+)(?:-(\d+))?", part).groups()
        yield from range(int(first), int(last or first) + 1)


def run(command, output, environment, seconds=None):
    """The status of a script; of one that outlives the seconds it is that of a kill, and the node is gone."""
    told, alone = {**os.environ, **environment}, {"start_new_session": True}
    task = subprocess.Popen(["sh", "-c", command], env=told, stdout=output, stderr=subprocess.STDOUT, **alone)
    try:
        return task.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(task.pid, signal.SIGKILL)
        return task.wait()


def run_task(options, job, environment, chance):
    """One script, as often as its node fails."""
    restarts, name = 0, options.output.replace("%", f"{job}-{environment.get('SLURM_ARRAY_TASK_ID', '')}")
    with open(name, "w", encoding="utf-8") as output:
        while True:
            again = {**environment, "SLURM_RESTART_COUNT": str(restarts)} if restarts else environment
            fails = options.requeue and restarts < 3 and chance.random() < 0.6
            status = run(options.wrap, output, again, chance.choice([0, 0.05, 0.1, 0.2, 0.4, 30]) if fails else None)
            if not fails:
                return status
            restarts += 1


def main():
    parser = argparse.ArgumentParser()
    for name in ("--array", "--dependency", "--kill-on-invalid-dep", "--wrap", "--output"):
        parser.add_argument(name)
    for name in ("--parsable", "--requeue"):
        parser.add_argument(name, action="store_true")
    options = parser.parse_args()
    options.output = options.output or "slurm-%.out"
    place = Path(os.environ["STANDIN_SLURM"])
    job = 100 + len(list(place.glob("*.jobs")))
    (place / f"{job}.jobs").touch()
    print(job if options.parsable else f"Submitted batch job {job}")
    if options.dependency:
        before = re.fullmatch(r"afterok:(\d+)", options.dependency)[1]
        if (place / f"{before}.status").read_text() != "0":
            assert options.kill_on_invalid_dep == "yes"
            return
    environments = [{"SLURM_JOB_ID": str(job)}]
    if options.array:
        tasks = list(indices(options.array))
        of_array = {"SLURM_ARRAY_JOB_ID": str(job), "SLURM_ARRAY_TASK_COUNT": str(len(tasks))}
        environments = [
            {**of_array, "SLURM_JOB_ID": str(job + task), "SLURM_ARRAY_TASK_ID": str(task)} for task in tasks
        ]
    chance = random.Random(job)
    chance.shuffle(environments)
    bad = set(os.environ.get("STANDIN_FAILS", "").split())
    with ThreadPoolExecutor(2) as nodes:
        started = [
            nodes.submit(run_task, options, job, environment, random.Random(number))
            for number, environment in enumerate(environments)
            if environment.get("SLURM_ARRAY_TASK_ID") not in bad
        ]
        statuses = [one.result() for one in started]
    (place / f"{job}.status").write_text(str(int(any(statuses) or len(started) < len(environments))))


if __name__ == "__main__":
    main()
