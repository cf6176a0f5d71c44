from datetime import timedelta

from sqlalchemy.orm import Session

from service import accounts
from service.queries.out_of_sight import clients_out_of_sight
from service.tables import Role
from tests.service import builders
from tests.service.builders import NOW, TODAY

DAY = timedelta(days=1)


def test_a_client_of_a_supervised_area_is_in_sight(session: Session):
    builders.area(session, "district")
    builders.area(session, "ward", "district")
    builders.user(session, Role.SUPERVISOR, "district")
    worker = builders.user(session, Role.ENUMERATOR, "ward")
    builders.client(session, "ward")
    builders.client(session, None, worker)
    assert clients_out_of_sight(session, TODAY) == {}


def test_a_client_whom_nobody_supervises_is_counted(session: Session):
    builders.area(session, "ended", valid_to=TODAY - DAY)
    builders.area(session, "nobodys")
    supervisor = builders.user(session, Role.SUPERVISOR, "ended")
    builders.client(session, "ended")
    builders.client(session, "nobodys", builders.user(session, Role.ENUMERATOR, "nobodys"))
    builders.client(session, None)
    assert clients_out_of_sight(session, TODAY) == {"ended": 1, "nobodys": 1, "": 1}
    assert clients_out_of_sight(session, TODAY - DAY) == {"nobodys": 1, "": 1}
    accounts.disable(session, supervisor, now=NOW)
    assert "ended" in clients_out_of_sight(session, TODAY - DAY)
