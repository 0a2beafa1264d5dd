#!/bin/bash
# The ten spirals classifiers, trained and animated: minutes on two cores.
#   bash jobs/spirals.sh      here, in the foreground
#   sbatch jobs/spirals.sh    on a cluster; run again, it goes on where it stopped
# Both from the folder that holds configs/; results go to runs/spirals.
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --time=00:30:00
export OMP_NUM_THREADS=1
exec python -m losscape_mpi.animate configs/train/spirals/*.yaml --jobs 2
