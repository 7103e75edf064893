"""A linear program by PDLP, in a process of its own: ortools and highspy cannot share one.

    python bench/pdlp_alone.py PROGRAM.npz SECONDS

`PROGRAM.npz` has the rows (`data`, `indices`, `indptr`), their limits `lower` and `upper`, and the
`value` of each column, of which between 0 and 1 is taken for the largest sum. Prints JSON: seconds,
value, bound, reason.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from ortools.pdlp import solve_log_pb2, solvers_pb2
from ortools.pdlp.python import pdlp
from scipy import sparse

# The relative gap and infeasibility at which it stops.
_NEAR = 1e-6


def main(path: str, seconds: float) -> None:
    given = np.load(path)
    n = len(given["value"])
    shape = (len(given["lower"]), n)
    rows = sparse.csr_matrix((given["data"], given["indices"], given["indptr"]), shape=shape)
    program = pdlp.QuadraticProgram()
    program.resize_and_initialize(n, shape[0])
    program.objective_vector = -given["value"]
    program.constraint_matrix = rows.tocsc()
    program.constraint_lower_bounds, program.constraint_upper_bounds = (
        given["lower"],
        given["upper"],
    )
    program.variable_lower_bounds, program.variable_upper_bounds = np.zeros(n), np.ones(n)
    settings = solvers_pb2.PrimalDualHybridGradientParams()
    ends = settings.termination_criteria
    ends.simple_optimality_criteria.eps_optimal_relative = _NEAR
    ends.simple_optimality_criteria.eps_optimal_absolute = _NEAR
    ends.time_sec_limit = seconds
    settings.num_threads = 2
    began = time.perf_counter()
    answer = pdlp.primal_dual_hybrid_gradient(program, settings)
    took = time.perf_counter() - began
    reason = solve_log_pb2.TerminationReason.Name(answer.solve_log.termination_reason)
    found = {
        "s": took,
        "value": float(given["value"] @ answer.primal_solution),
        "reason": reason.removeprefix("TERMINATION_REASON_").lower(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
