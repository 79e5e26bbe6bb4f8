"""Values only: what is asked, what may be used, how it went. No I/O, no kernel."""
