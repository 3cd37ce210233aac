"""A program that writes a target and notes each block that it begins, so that a test can kill it and count."""

import json
import os
import sys

from inner_distance_gpu.blockwise import writing

source, destination, log, options = sys.argv[1:]
original = writing.write_block
handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def noted(job, sites, number):
    os.write(handle, f"{number}\n".encode())
    return original(job, sites, number)


writing.write_block = noted
print(writing.write(source, destination, **json.loads(options)).computed)
