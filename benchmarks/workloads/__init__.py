"""The workloads: each a module with `measure(rounds, only)`."""
