"""The command line. It only calls what stands in the other rooms."""
