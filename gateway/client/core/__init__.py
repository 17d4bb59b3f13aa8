"""What both clients share: requests, answers, retries and positions, as programs that ask for I/O and do none."""
