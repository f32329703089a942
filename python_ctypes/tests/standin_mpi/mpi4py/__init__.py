"""As much of mpi4py as the guide needs, for where there is no MPI."""
