"""What starts at power-on: read the configuration, open the board, run the node or the modem.

On the Unix port: ``micropython main.py [config.json]``, with the node's folder as working directory. On the Pico
``fieldelm.boot`` watches over it, and the REPL is there when this ends.
"""

import gc
import sys


def open_board(path, open):
    """Read the configuration and open its board: (settings, ``open(settings)``). Raises fieldelm.config.ConfigError.

    Whether it is the right board the board says. The checks are needed once, so they do not stay in memory.
    """
    import fieldelm
    from fieldelm import config

    settings = config.load(path)
    board = open(settings)
    del config, fieldelm.config, sys.modules["fieldelm.config"]
    if "fieldelm.memory" in sys.modules:  # a modem needs none of it
        del fieldelm.memory, sys.modules["fieldelm.memory"]
    gc.collect()
    return settings, board


def play(board, path):
    """Run the node on the board that is no board. Returns an exit code when a recording ends or the configuration is wrong."""
    try:
        settings, board = open_board(path, board.open)
    except ValueError as error:  # ConfigError and what a board makes of wrong options
        print("fieldelm: %s" % error)
        return 2
    from fieldelm.node import Node
    from fieldelm.storage import StorageError

    try:
        node = Node(settings, board)
    except StorageError as error:
        # without its counters a node could repeat a nonce, which would give its key away
        print("fieldelm: %s; provision the node with a new key" % error)
        return 1
    except ValueError as error:  # settings that contradict each other or the sensor
        print("fieldelm: %s: %s" % (path, error))
        return 2
    node.run()
    return 0


def main(path="config.json"):
    """Run what the file describes. Returns an exit code, on a real board None when somebody wants the REPL."""
    import board

    if not hasattr(board, "description"):
        return play(board, path)
    from fieldelm import boot

    return boot.run(board, path, open_board)


if __name__ == "__main__":
    code = main(*sys.argv[1:2])
    if sys.platform != "rp2":  # there SystemExit is a soft reset, and this would start for ever
        sys.exit(code)
