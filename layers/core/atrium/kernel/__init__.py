"""What every module may use and what uses nothing: errors, ids, clock, crypto, pagination. No I/O."""
