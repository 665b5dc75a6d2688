"""What an operator's commands leave behind in the learner, on the real MicroPython."""

from mp_learner import broken, commissioned, live, names, new_source


def wears(watcher, machine, place=lambda i: 0.0):
    """Let a band rise slowly until the node alarms."""
    amplitude = 0.0
    for _ in range(2000):
        amplitude += 2e-4
        machine.extra = lambda i: amplitude if 100 <= i < 104 else place(i)
        if live(watcher, machine, 1):
            break
    assert watcher.event == "machine_alarm" and watcher.bands[0] == 25, (watcher.event, watcher.bands)


def fault_comes_and_goes(watcher, machine):
    machine.extra = broken
    assert names(live(watcher, machine, 30)) == ["machine_alarm"]
    machine.extra = None
    assert names(live(watcher, machine, 40)) == ["alarm_cleared"]


def test_wear_is_forgotten_by_whoever_commissions_anew():
    watcher, machine = commissioned()
    live(watcher, machine, 300)
    wears(watcher, machine)
    machine.extra = None
    assert watcher.commission()
    assert names(live(watcher, machine, 64)) == ["commissioned"]
    fault_comes_and_goes(watcher, machine)


def test_an_old_model_that_returns_is_not_blamed_for_the_wear_of_the_new_one():
    watcher, machine = commissioned()
    machine.extra = new_source
    live(watcher, machine, 360)
    assert watcher.change_unconfirmed
    wears(watcher, machine, new_source)
    assert watcher.call_fault()
    variance = watcher._wear.buffers()[1]
    before = variance[25]
    machine.extra = None
    assert names(live(watcher, machine, 60)) == ["machine_alarm", "alarm_cleared"]
    assert variance[25] < 1.1 * before, (before, variance[25])  # what is forgiven counts 1.56 times at least


def test_wear_that_is_called_harmless_is_the_new_zero():
    for strays in (0, 2):
        watcher, machine = commissioned()
        assert live(watcher, machine, 300) == []
        wears(watcher, machine)
        risen = machine.extra
        machine.extra = lambda i: risen(i) + (0.5 if 60 < i < 70 else 0.0)
        assert live(watcher, machine, strays) == []
        machine.extra = risen
        assert watcher.confirm_change()
        assert names(live(watcher, machine, 300)) == ["alarm_cleared", "change_confirmed"]
        assert not watcher.confirm_change()


def test_changed_sensor_is_learned_on_command():
    for command in ("commission", "retrain"):
        watcher, machine = commissioned()
        machine.gain = 0.4
        assert names(live(watcher, machine, 40)) == ["sensor_fault"] and watcher.sensor_fault == "gain"
        watcher.step(None, 0)
        assert not getattr(watcher, command)()  # it does not answer just now
        live(watcher, machine, 3)
        assert getattr(watcher, command)() and watcher.sensor_fault is None
        events = names(live(watcher, machine, 100))
        assert events == ["sensor_ok", "commissioned" if command == "commission" else "relearned"], events
        fault_comes_and_goes(watcher, machine)
