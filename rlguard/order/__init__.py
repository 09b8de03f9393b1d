"""A training order of domains that protects what is known.

    probe.probe               a short training on each domain: how accuracy changes on all of them
    transfer.Transfer         the matrix of it; backward_transfer measures a whole run
    plan.plan_order           the order that loses least, and how sure that is
    schedule.write_schedule   the data set in that order, for TRL

`rlguard order` does all four.
"""
